"""Side-by-side comparison of replies with a real redis-server; the cases are the *.cases files here."""
