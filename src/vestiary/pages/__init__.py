"""The pages people see: Streamlit, and nothing of it elsewhere."""
