"""Certificates and passwords for a trial of the secured transport."""
