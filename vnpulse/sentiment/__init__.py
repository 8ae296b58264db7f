"""What the news says of a symbol: cleaning, whom an article is about, models, the analyzer."""
