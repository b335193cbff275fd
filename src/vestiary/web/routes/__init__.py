"""The addresses of the service, one file for each family of them."""

from vestiary.web.routes import about, explanation, health, inference, pages, prediction

ROUTERS = (prediction.router, explanation.router, pages.router, about.router, health.router, inference.router)

__all__ = ["ROUTERS"]
