"""The HTTP face: routes, their documents, and what stands between a socket and the desk."""
