"""What Streamlit runs for each visitor, from top to bottom, at each of their clicks."""

from vestiary.pages.shell import show

show()
