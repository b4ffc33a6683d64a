"""What goes wrong in training, watched and named: each file holds monitors of one kind, `watch.Health` runs them all.

A monitor has a documented threshold, scalars for TensorBoard, and one line for the log that says what is seen, what
usually causes it and what to try. It changes nothing: no loss, gradient, weight or random number.
"""
