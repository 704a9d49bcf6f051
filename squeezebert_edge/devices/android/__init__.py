"""Phones behind adb."""
