"""SmolVLM2 looks at every segment, scores it and says what happens in it."""
