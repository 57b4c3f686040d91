"""The compressed generator as one file, in the formats of other runtimes, and as a drawing page."""


rule export:
    input:
        manifest=from_data("manifest.json"),
        models=from_stages(("supernet", "subnet", "finetune"), "model.safetensors"),
    output:
        "results/{experiment}/export/model.safetensors",
        "results/{experiment}/export/card.json",
    log:
        "results/{experiment}/logs/export.log",
    benchmark:
        "results/{experiment}/logs/export.tsv"
    params:
        signature=settings_of("export"),
        options=options,
    shell:
        "gancomp slim {wildcards.experiment} --expect {params.signature} {params.options} 2>&1 | tee {log:q}"


# Exports such as `results/emoji/export/model.onnx`, and their differences from PyTorch.
# A package for CoreML is a folder.
EXPORTS = {
    "onnx": ("model{half}.onnx",),
    "openvino": ("model{half}.xml", "model{half}.bin"),
    "torch": ("model{half}.pt2",),
    "litert": ("model{half}.tflite",),
    "executorch": ("model{half}.pte",),
    "coreml": ("model{half}.mlpackage",),
    "tensorrt": ("model-tensorrt{half}.onnx",),
}
IN_EXPORT = "results/{experiment}/export/"

for to, files in EXPORTS.items():

    rule:
        name:
            f"export_{to}"
        input:
            model="results/{experiment}/export/model.safetensors",
            manifest=from_data("manifest.json"),
        output:
            *(directory(IN_EXPORT + file) if to == "coreml" else IN_EXPORT + file for file in files),
            f"{IN_EXPORT}{files[0]}.json",
        log:
            f"results/{{experiment}}/logs/export_{to}{{half}}.log",
        benchmark:
            f"results/{{experiment}}/logs/export_{to}{{half}}.tsv"
        wildcard_constraints:
            # `model-fp16` has half precision, `model-int8` (only ONNX) 8 bits. A constraint, because storage plugins
            # would take the `?` in a file name for the start of a query.
            half="(-fp16|-int8)?",
        params:
            to=to,
            precision=lambda wildcards: wildcards.half.removeprefix("-") or "fp32",
            data=real_pictures,
            builder=builder_of,
        shell:
            "gancomp {params.builder} export {input.model} --to {params.to} --precision {params.precision} {params.data} 2>&1 | tee {log:q}"


rule web_runtime:
    output:
        expand(f"{paths.WEB_RUNTIME}/{{file}}", file=WEB_RUNTIME_FILES),
    log:
        "data/logs/web_runtime.log",
    benchmark:
        "data/logs/web_runtime.tsv"
    shell:
        "gancomp web-runtime 2>&1 | tee {log:q}"


rule demo_page:
    input:
        manifest=from_data("manifest.json"),
        original=from_stages(("original",), "model.safetensors"),
        model="results/{experiment}/export/model.safetensors",
        web_runtime=rules.web_runtime.output,
    output:
        "results/{experiment}/demo/index.html",
    log:
        "results/{experiment}/logs/demo_page.log",
    benchmark:
        "results/{experiment}/logs/demo_page.tsv"
    params:
        options=options,
    shell:
        "gancomp demo-page {wildcards.experiment} {params.options} 2>&1 | tee {log:q}"
