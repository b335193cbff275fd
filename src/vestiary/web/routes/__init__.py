"""The addresses of the service, one file for each family of them."""

from vestiary.web.routes import about, explanation, feedback, health, inference, pages, prediction

ROUTERS = (
    prediction.router,
    explanation.router,
    feedback.router,
    pages.router,
    about.router,
    health.router,
    inference.router,
)

__all__ = ["ROUTERS"]
