import repatient as rp, pytest
@pytest.mark.filterwarnings("ignore")
def test_x(tiny, keys, tmp_path):
    c=[tiny.copy(), tiny.copy()]
    rp.tl.recipes(c[1], **keys, shrinkage=3.0)
    for x in c: del x.obsm["X_pca"]
    for x in c: rp.io.write_recipes(x, tmp_path/"a.h5", min_cells=1, min_donors=1)
