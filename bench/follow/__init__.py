"""How many lines of the router's log the follower takes in a second, of one core's time and by the clock."""
