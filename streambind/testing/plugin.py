"""pytest fixtures for applications of streambind."""
