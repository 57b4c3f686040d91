# The package, the workflow and all that they need. Versions are the pins of pyproject.toml, so that a later build may be newer.
#   docker build --tag gancomp .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD":/work gancomp snakemake --cores all
# With a GPU: --gpus all. For `snakemake --software-deployment-method apptainer`, which runs the rules in gancomp.sif:
#   apptainer build gancomp.sif docker-daemon://gancomp:latest
FROM python:3.12-slim-bookworm

# npm fetches pictures and the browser's runtime that are published there; git names the version in what runs leave.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git npm \
    && rm -rf /var/lib/apt/lists/*

# Dependencies first: a changed line of the package builds them not anew.
WORKDIR /gancomp
COPY pyproject.toml README.md LICENSE ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > /tmp/pins \
    && pip install --no-cache-dir --requirement /tmp/pins

COPY Snakefile config.yaml ./
COPY config config
COPY profiles profiles
COPY workflow workflow
COPY gancomp gancomp
RUN pip install --no-cache-dir --no-deps .

# Any user may run it: what libraries and Snakemake remember goes where everybody writes.
ENV HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /work
CMD ["gancomp", "--help"]
