"""The dock widget for reviewing masks: one item on screen, two hands on the keyboard."""
