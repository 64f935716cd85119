"""Work beside a ticking event loop."""
