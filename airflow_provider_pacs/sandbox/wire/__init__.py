"""TDS 7.4 on the wire: packets, logins, TLS, types and rows as bytes. It runs SQL only through the port in `model`."""
