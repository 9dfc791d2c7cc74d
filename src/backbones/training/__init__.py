"""Training: a recipe, a straight loop of records, and a folder that can be gone on with.

recipe = apply_settings(load_recipe("finetune"), ["length=10epochs"])
recipe = resolve(recipe, row=model.row, train=source.split("train"))
run = RunFolder.create(folder, recipe=recipe, data=fingerprint(source.split("train")))
for record in fit(model, recipe, pipeline, evaluate=evaluate, run=run):
    ...
"""
