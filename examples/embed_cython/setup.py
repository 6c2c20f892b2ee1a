"""All that a project needs to call ckmeans without the GIL: its include directory."""

from setuptools import Extension, setup

import ckmeans

setup(ext_modules=[Extension("many", ["many.pyx"], include_dirs=[ckmeans.get_include()])])
