def report(frame, settings, images):
    print(frame.groupby(["noise", "learnt_from", "n", "arm", "labels"]).value.mean().unstack().round(3).to_string())
    print(frame.groupby(["learnt_from", "n"]).cpu.mean())
