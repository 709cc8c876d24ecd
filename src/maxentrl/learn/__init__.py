"""What learners are made of: networks, memories, targets, and the one loop that trains them."""
