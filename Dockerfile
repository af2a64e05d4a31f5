# The bot and its worker in one image; compose.yaml runs them as two processes beside a Postgres with pgvector.
FROM python:3.11-slim
RUN useradd --create-home keepsake \
    && install --directory --owner keepsake /home/keepsake/.cache /home/keepsake/data
WORKDIR /app
COPY pyproject.toml requirements.txt README.md LICENSE ./
COPY .ci/torch-cpu.txt ./
COPY bot bot
COPY model_worker model_worker
COPY db db
RUN pip install --no-cache-dir --require-hashes --no-deps --index-url https://download.pytorch.org/whl/cpu \
        -r torch-cpu.txt \
    && pip install --no-cache-dir --require-hashes --no-deps -r requirements.txt \
    && pip install --no-cache-dir --no-deps --no-build-isolation .
USER keepsake
ENV KEEPSAKE_HOME=/home/keepsake/data
CMD ["keepsake", "up"]
