"""The images and labels that networks are trained and measured on."""
