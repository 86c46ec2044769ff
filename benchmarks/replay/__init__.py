"""A node that says what it was told to say, as fast as bytes can be sent: no store, no checks, nothing of trio_esdb."""
