"""The student edition: solutions cut out of the library, checks that teach, and a grader that trusts no hand-in."""
