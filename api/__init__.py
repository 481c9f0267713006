"""HTTP, the live stream and the pages; the pages use nothing but the public API."""
