"""Files of images: taken in, recognised, checked, converted, stored."""
