"""How soon the receiver's page is seen, and what two hundred people who watch it (`load`) cost."""
