"""Actors on every node that are told a secret: for hearing what crosses the network."""

TELL_ALL = """
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

ray.init("auto", log_to_driver=False, logging_level="ERROR")

@ray.remote(num_cpus=0)
class Keeper:
    def __init__(self, secret):
        self.secret = secret

    def where(self, again):
        return ray.util.get_node_ip_address(), self.secret == again

nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
secret = "canary-" + "on-the-wire"
keepers = [Keeper.options(scheduling_strategy=On(node, soft=False)).remote(secret) for node in nodes]
print(sorted(ray.get([keeper.where.remote(secret) for keeper in keepers])))
"""
SECRET = b"canary-on-the-wire"
