"""Runs the book: executes, exports, checks and ships notebooks, and knows no exercise."""
