"""iPhones behind Xcode's devicectl."""
