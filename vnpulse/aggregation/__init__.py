"""From results to alerts: fused scores, rules with episodes, targets on the tick, explanations."""
