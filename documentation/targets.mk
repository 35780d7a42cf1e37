# -- the site and the images ----------------------------------------------------------------------------------------

DOCS := .venvs/docs
export NO_MKDOCS_2_WARNING := 1

# What the site is built with, every package, and what the guides' commands need: an environment of its own.
$(DOCS)/.installed: $(VENV)/uv.env pyproject.toml constraints.txt packages/*/pyproject.toml acceptance_tests/app/pyproject.toml
	@$(say) "installing what makes the documentation into .venvs/docs"
	@$(uv) venv --quiet --allow-existing --python $(VENV)/bin/python $(DOCS)
	@$(uv) pip install --quiet --python $(DOCS)/bin/python -c constraints.txt --group docs \
		$(foreach p,$(PACKAGES),-e 'packages/$(p)') -e acceptance_tests/app
	@touch $@

.PHONY: docs
docs: $(DOCS)/.installed ## build the site of the documentation into site/; every link and anchor is checked
	@$(say) "mkdocs build --strict"
	@$(DOCS)/bin/python -m mkdocs --quiet build --strict

.PHONY: docs-serve
docs-serve: $(DOCS)/.installed ## show the site on http://127.0.0.1:8000, made anew at each change
	@$(DOCS)/bin/python -m mkdocs serve

.PHONY: test-docs
test-docs: docs ## the documentation's tests: every code block that can run runs, answers are those shown
	@$(say) "documentation: tests"
	@$(call pytest,.venvs/docs,docs) documentation/tests
