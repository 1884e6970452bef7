"""The doors for people: what talks to a customer in a chat, and the demo in the terminal."""
