"""Feature-flag evaluations a second on one core (`load`), and a rollback in the midst of them."""
