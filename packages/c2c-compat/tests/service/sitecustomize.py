"""A host's name without a host: what containers have by themselves."""

import os
import socket

if "HOST_NAME" in os.environ:
    socket.gethostname = lambda: os.environ["HOST_NAME"]
