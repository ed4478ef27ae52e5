"""What is known of a text by its words alone: its language, hashes of its runs, contamination."""
