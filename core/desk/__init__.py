"""The front desk: everything a customer may ask for, and the only way in for the doors."""
