"""What makes the site of docs/ and holds it to the truth: pages made of READMEs, recorded answers, blocks that run."""
