"""Training with the mask loss: attention outside the allowed organs costs."""
