"""Judgements of maps: is the evidence real, and does a map depend on what the model learned?

    result = seewhy.faithfulness(model, seewhy.load_dataset("cifar10/"), ["cam", "gradient"])
    print(result.table())
    test = seewhy.randomisation_test(model, ["cat.jpg", "dog.jpg"], ["cam", "guided-backprop"])
    test.save("randomised.png")

Importing this loads no torch; asking for a judgement does.
"""
