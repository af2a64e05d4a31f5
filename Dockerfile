# The bot and its worker in one image; compose.yaml runs them as two processes beside a Postgres with pgvector.
FROM python:3.12-slim
RUN useradd --create-home keepsake \
    && install --directory --owner keepsake /home/keepsake/.cache /home/keepsake/data
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY bot bot
COPY model_worker model_worker
COPY db db
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu \
        "$(grep '^torch==' constraints.txt)" \
    && pip install --no-cache-dir -c constraints.txt .
USER keepsake
ENV KEEPSAKE_HOME=/home/keepsake/data
CMD ["keepsake", "up"]
