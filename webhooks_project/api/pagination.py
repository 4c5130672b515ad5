from rest_framework.pagination import CursorPagination as DrfCursorPagination


class CursorPagination(DrfCursorPagination):
    """Pages by a cursor: steady under new rows, and as quick on page 10,000 as on the first.

    A viewset names its order in `ordering`, along an index.
    """

    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"
    ordering = "-created_at"
