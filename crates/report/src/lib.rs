//! Values to text, JSON lines, histograms, tables and pictures.
