"""What a recipe will do, need and cost, told before it runs."""
