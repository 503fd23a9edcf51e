"""The bytes that FFL and FFR agree on, and the engine that both run. Imports nothing of the project."""
