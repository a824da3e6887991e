"""What a trained model is once training is over: arrays, and what may be trusted about them.

`splits` says which labels may train what; `trees` scores flat arrays of trees; `calibration` turns
scores into probabilities; a `bundle` is both, with the `manifest` that says what they are;
`bundle_folder` keeps it on disk, verified before it is used; `registry` says where bundles lie and
which is in service. Nothing here fits trees: that needs a training library and lives in the
pipelines.
"""
