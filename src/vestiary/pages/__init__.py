"""What a person with a browser sees: a folder per page, on Streamlit, mounted by the service into its own process."""
