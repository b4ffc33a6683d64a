"""`report`, as far as the command line goes."""


def test_report_into_a_folder(call, trained, tmp_path):
    message = f"{tmp_path}: is a folder. Name a file in it, such as {tmp_path / 'report.html'}.\n"
    assert call("report", trained, "--out", tmp_path) == (2, "", message)
