"""Builds and launches the page: `python app.py`, and what Hugging Face Spaces runs."""

from app.ui import launch

if __name__ == "__main__":
    launch()
