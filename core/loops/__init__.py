"""The back office: loops that move paid work forward."""
