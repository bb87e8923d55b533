"""The ground floor: files that are whole or not there, what a result depends on, and where things lie."""
