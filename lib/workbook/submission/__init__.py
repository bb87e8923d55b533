"""What is handed in: who hands in which sheet, one PDF of its notebooks, and an archive in which they run again."""
