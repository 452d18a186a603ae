"""How good are frozen features? Their extraction, the kNN and linear protocols, and a table."""
